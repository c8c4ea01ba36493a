from ._infer import infer as infer
from ._local import LocalInference as LocalInference
from ._local import infer_local as infer_local
from ._result import Inference as Inference
