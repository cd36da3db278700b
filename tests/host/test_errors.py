"""Exit statuses of DESIGN 13."""

from thecal.host import errors


def test_each_failure_has_its_exit_status():
    table = {errors.RequestInvalid: 1, errors.PumpRefused: 1, errors.KeyProblem: 1, errors.SessionLost: 1, errors.WrongPump: 1,
             errors.UsageProblem: 2, errors.NoConnection: 3, errors.Timeout: 4, errors.ProtocolProblem: 5}
    assert {kind: kind.exit_status for kind in table} == table
    assert all(issubclass(kind, errors.ThecalError) for kind in table)


def test_refusals_carry_code_and_field():
    refused = errors.PumpRefused("no", 6, "steps")
    assert (refused.code, refused.field, str(refused)) == (6, "steps", "no")
    assert errors.RequestInvalid("no", "dose").field == "dose"
