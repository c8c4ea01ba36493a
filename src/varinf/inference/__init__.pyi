from ._infer import infer as infer
from ._result import Inference as Inference
