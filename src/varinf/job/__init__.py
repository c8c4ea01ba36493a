"""What a run does: open its data, build its model, fit it, evaluate it. Loads JAX."""

from varinf.job._figures import drawing as drawing
from varinf.job._figures import evaluation as evaluation
from varinf.job._figures import evaluation_key as evaluation_key
from varinf.job._figures import load_model as load_model
from varinf.job._figures import predictions as predictions
from varinf.job._figures import results as results
from varinf.job._figures import snapshots as snapshots
from varinf.job._fit import Outcome as Outcome
from varinf.job._fit import fit_run as fit_run
from varinf.job._rows import check_rows as check_rows
from varinf.job._rows import evaluation_rows as evaluation_rows
from varinf.job._rows import first_rows as first_rows
from varinf.job._rows import open_data as open_data
from varinf.job._rows import open_like as open_like
from varinf.job._rows import row_spec as row_spec
from varinf.kinds import between as between
from varinf.kinds import codes as codes
from varinf.kinds import reconstructions as reconstructions
from varinf.kinds import samples as samples
