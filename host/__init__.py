"""host: the clinician's programmer as a library and a command line. Knows protocol/ and nobody else (DESIGN R2)."""

from . import errors
from .errors import NoConnection, ProtocolProblem, PumpRefused, RequestInvalid, ThecalError, Timeout, UsageProblem
from .fill import Fill, bridge, low_reservoir_date, mixed_ng_ml
from .implant import Implant
from .prescription import Prescription
from .programmer import Programmer, ProgramResult, Review

__all__ = [
    "Fill", "Implant", "NoConnection", "Prescription", "ProgramResult", "Programmer", "ProtocolProblem", "PumpRefused", "RequestInvalid",
    "Review", "ThecalError", "Timeout", "UsageProblem", "bridge", "errors", "low_reservoir_date", "mixed_ng_ml",
]
