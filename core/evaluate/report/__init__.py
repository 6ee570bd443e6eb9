"""Reports: one self-contained HTML page for a run, and one that sets several runs side by side."""

from crystalfw.core.evaluate.report.comparison import write_comparison as write_comparison
from crystalfw.core.evaluate.report.run import write_report as write_report
