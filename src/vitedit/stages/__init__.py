"""One module a stage: the function of the same name reads its inputs, calls the library and writes its outputs."""
