"""Whether what was asked for happened: options that count epochs, or need another option."""

from sinrnn.evaluation.diagnosis.words import Finding, option
from sinrnn.evaluation.results import Results

READOUT, EVERY = "model.readout_epoch", "trainer.check_val_every_n_epoch"


def unreached(results: Results) -> Finding | None:
    """Whether training lasted long enough for all that its options ask for."""
    settings, done, history = results.settings, results.epochs, results.history
    if done is None:
        return None
    short = {name: need for name, need in settings.needs.items() if need.epochs > done}
    problems = []
    if READOUT in short:
        problems.append(_readout(results, done))
    if done > 0 and history is not None and history.epochs == [0.0]:  # before training alone
        kept = ", so the last weights were kept as the best" * (settings.keep == "best")
        cure = f" Validate more often ({option(EVERY, 1)})." * (EVERY in short)
        problems.append(f"No epoch was validated{kept}.{cure}")
    notes = [f"{option(a)} has no effect without {option(b)}." for a, b in settings.unused.items()]
    for name, need in short.items():
        # A patience that was not used up did not end training; something else did.
        if name in (READOUT, EVERY) or (need.waits and settings.epochs != done):
            continue
        which = option(name, need.value) if need.option else f"{name} {need.value}"
        notes.append(f"{which} needs {_epochs(need.epochs)}, and training ended after {done}.")
    return Finding(f"trained for {_epochs(done)}", "\n".join(problems), "\n".join(notes))


def _readout(results: Results, done: int) -> str:
    need = results.settings.needs[READOUT]
    asked = f"{option(READOUT, need.value)} needs {_epochs(need.epochs)}"
    cure = f"solve it earlier ({option(READOUT, max(done - 1, 0))})"
    if results.settings.epochs == done:  # and nothing else has ended it
        cure = f"train longer ({option('trainer.max_epochs', need.epochs)}), or {cure}"
    return (
        f"The readout was never solved: {asked}, and training ended after {done}. "
        f"{cure[0].upper()}{cure[1:]}."
    )


def _epochs(count: int) -> str:
    return f"{count:,} epoch{'' if count == 1 else 's'}"
