"""Check for options that had no effect: too few epochs, or another option is missing."""

from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.results import Results

READOUT, EVERY = "model.readout_epoch", "trainer.check_val_every_n_epoch"


def unreached(results: Results) -> Finding | None:
    """Check whether training had the epochs that its options need."""
    settings, done, history = results.settings, results.epochs, results.history
    if done is None:
        return None
    missed = {name: need for name, need in settings.needs.items() if need.epochs > done}
    problems = []
    if READOUT in missed:
        problems.append(_readout(results, done))
    if done > 0 and history is not None and history.epochs == [0.0]:  # only before training
        kept = ", so the last weights were kept as the best" * (settings.keep == "best")
        suggestion = f" Validate more often ({option(EVERY, 1)})." * (EVERY in missed)
        problems.append(f"No epoch was validated{kept}.{suggestion}")
    notes = [f"{option(a)} has no effect without {option(b)}." for a, b in settings.unused.items()]
    for name, need in missed.items():
        # Something else ended training before the patience ran out.
        if name in (READOUT, EVERY) or (need.waits and settings.epochs != done):
            continue
        named = option(name, need.value) if need.option else f"{name} {need.value}"
        notes.append(f"{named} needs {_epochs(need.epochs)}, but training ended after {done}.")
    return Finding(f"trained for {_epochs(done)}", "\n".join(problems), "\n".join(notes))


def _readout(results: Results, done: int) -> str:
    need = results.settings.needs[READOUT]
    needs = f"{option(READOUT, need.value)} needs {_epochs(need.epochs)}"
    suggestion = f"solve it earlier ({option(READOUT, max(done - 1, 0))})"
    if results.settings.epochs == done:  # nothing else ended training
        suggestion = f"train longer ({option('trainer.max_epochs', need.epochs)}), or {suggestion}"
    return (
        f"The readout was never solved: {needs}, but training ended after {done}. "
        f"{suggestion[0].upper()}{suggestion[1:]}."
    )


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'' if count == 1 else 's'}"
