from vitedit.model.patch import Patch as Patch
from vitedit.tool.library import edit as edit
from vitedit.tool.models import load_vit as load_vit

__version__: str
PUBLIC: dict[str, str]
