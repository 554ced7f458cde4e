"""What the programs of this folder have in common: options, a scratch folder that goes with them, and how they end.

A benchmark, never a test: it ends with 0 whatever the figures are, and with 1 only where something could not be measured.
"""

import json
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from servers import ROOT, Unmeasurable


def run(parser, measure, text):
    """Prints what `measure` makes of the options and a scratch folder: by `text`, or as JSON."""
    parser.add_argument("--gateway", default=ROOT / "target/release/seckill", help="the gateway's program")
    parser.add_argument("--scratch", default=ROOT / "target", help="on the disk that a journal would lie on")
    parser.add_argument("--json", action="store_true", help="print everything as JSON instead of text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    base = pathlib.Path(options.scratch)
    base.mkdir(parents=True, exist_ok=True)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix="bench-", dir=base))
    try:
        result = measure(options, scratch)
    except Unmeasurable as reason:
        sys.exit(f"could not measure: {reason}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    print(json.dumps(result, indent=1) if options.json else text(result))


def wait_until(done, seconds_max, what):
    deadline = time.monotonic() + seconds_max
    while not done():
        if time.monotonic() > deadline:
            raise Unmeasurable(f"waited {seconds_max} s in vain until {what}")
        time.sleep(0.5)
