"""What a run was, to look at: one HTML file that needs nothing else, or pictures for a paper.

==============  ============================================================================
``sources``     a run's, or a sweep's, folder as plain values; strangers' folders included
``matrices``    who rated whom, round by round, as arrays
``figures``     Bokeh figures of one run
``sales``       of a market's task: money, panel by panel
``sweeps``      and of a sweep: mean and deviation over seeds, heat maps
``page``        the HTML file, by the template beside it
``pictures``    the same as PNG and SVG, by matplotlib
==============  ============================================================================
"""

from bcfl.report.page import write_page
from bcfl.report.pictures import write_pictures
from bcfl.report.sources import Names, read_names, read_run, read_sweep

__all__ = ["Names", "read_names", "read_run", "read_sweep", "write_page", "write_pictures"]
