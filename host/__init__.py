"""host: the clinician's programmer as a library and a command line. Knows protocol/ and nobody else (DESIGN R2)."""

from . import errors
from .emergency import Card, Reduction
from .errors import (KeyProblem, NoConnection, ProtocolProblem, PumpRefused, RequestInvalid, SessionLost, ThecalError, Timeout, UsageProblem,
                     WrongPump)
from .fill import Fill, bridge, low_reservoir_date, mixed_ng_ml
from .followup import FollowUp
from .implant import Implant
from .keystore import Keystore
from .life import ImplantRecord, TrialRecord
from .pairing import Pairing
from .prescription import Prescription
from .outcome import ProgramResult, Review
from .programmer import Programmer

__all__ = [
    "Card", "Fill", "FollowUp", "Implant", "ImplantRecord", "KeyProblem", "Keystore", "NoConnection", "Pairing", "Prescription", "ProgramResult", "Programmer", "ProtocolProblem",
    "PumpRefused", "Reduction", "RequestInvalid", "Review", "SessionLost", "ThecalError", "Timeout", "TrialRecord", "UsageProblem",
    "WrongPump", "bridge", "errors", "low_reservoir_date", "mixed_ng_ml",
]
