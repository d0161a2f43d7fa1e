import numpy as np

from vitedit.measure.metrics import (
    generalization,
    generalization_reference,
    generalization_style,
    locality,
    own_right,
)

# Two edits on a group of four images; the first was made from image 1, the second from image 0.
RIGHT = np.array([[True, True, False, False], [False, True, True, True]])
OWN = np.array([[1], [0]])


def test_generalization_leaves_the_edit_sample_out():
    # Edit 0: of images 0, 2, 3 only image 0 is right. Edit 1: images 1, 2, 3 are right.
    np.testing.assert_allclose(generalization(RIGHT, OWN), [1 / 3, 1.0])


def test_the_published_formula_subtracts_a_hit_even_if_the_edit_failed():
    np.testing.assert_allclose(generalization_reference(RIGHT, 1), [(2 - 1) / 4, (3 - 1) / 4])
    np.testing.assert_allclose(generalization_reference(np.array([[False, False]]), 1), [-1 / 2])


def test_several_samples_are_all_left_out():
    own = np.array([[0, 1], [3, 0]])
    np.testing.assert_array_equal(own_right(RIGHT, own), [[True, True], [True, False]])
    np.testing.assert_allclose(generalization(RIGHT, own), [0.0, 1.0])
    np.testing.assert_allclose(generalization_reference(RIGHT, 2), [(2 - 2) / 4, (3 - 2) / 4])


def test_the_whole_style_counts_every_class_but_not_the_edit_sample():
    own = np.array(
        [[False, True, False, False], [False, False, False, False]]
    )  # the second sample is not among them
    np.testing.assert_allclose(generalization_style(RIGHT, own), [1 / 3, 3 / 4])


def test_a_group_of_one_has_no_generalization():
    assert np.isnan(generalization(np.array([[True]]), np.array([[0]]))).all()
    assert np.isnan(generalization(np.array([[True, True]]), np.array([[0, 1]]))).all()


def test_locality_is_agreement_with_the_unedited_model():
    np.testing.assert_allclose(
        locality(np.array([[1, 2, 3, 4], [1, 0, 0, 4]]), np.array([1, 2, 3, 4])), [1.0, 0.5]
    )
