"""What a scenario is: a function that drives a box, fails by an assertion, and returns what was seen."""

SCENARIOS = []


class Scenario:
    def __init__(self, name, play, kind, short):
        self.name, self.play, self.kind, self.short = name, play, kind, short


def scenario(name, kind="plain", short=True):
    """Registers a scenario, in the order of the table. `kind` of machine: "bare" (nothing installed), "plain" (cdev),
    "update" (plain, and never on air before), "tpm" (plain, for those that give it one), "pi" (rppal), or "own" (none:
    the scenario makes one); `short`: also in the form that CI runs."""
    def register(play):
        SCENARIOS.append(Scenario(name, play, kind, short))
        return play
    return register
