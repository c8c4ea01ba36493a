import typer

from varinf.cli._data import data
from varinf.cli._encode import encode
from varinf.cli._evaluate import evaluate
from varinf.cli._fit import fit
from varinf.cli._help import GroupedCommand
from varinf.cli._info import info
from varinf.cli._interpolate import interpolate
from varinf.cli._predict import predict
from varinf.cli._reconstruct import reconstruct
from varinf.cli._sample import sample

app = typer.Typer(
    name="varinf",
    help="""Variational inference for deep models.

    Fit a variational auto-encoder, or a Bayesian network that predicts, to images or a table, and use it:

    \b
      varinf fit                               the built-in digits, in seconds
      varinf fit photos/ --resize 32           a folder of images
      varinf encode runs/NAME photos/ --out codes.parquet
      varinf fit table.csv --model regressor --target price
      varinf predict runs/NAME new.csv --out predictions.csv
      varinf COMMAND --help                    what a command can do
    """,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
for _command in (fit, evaluate, predict, sample, reconstruct, encode, interpolate, info, data):
    app.command(cls=GroupedCommand)(_command)
