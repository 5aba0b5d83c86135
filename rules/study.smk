# What this invocation is about. A run is one lambda and one seed in one set-up. The place of a set-up is what
# follows the study's folder in its paths: nothing for the base, /setups/<name> for the others.
STUDY, SETUPS = read_study()
# In the order of training: those that differ in epochs alone share runs, the longest comes first.
SHARING = setups.sharing_runs(SETUPS.values())
ORDER = [paths.place(setup.name) for group in SHARING for setup in group]
# The set-ups that have data of their own, by what follows the study's folder in the paths of these.
DATA = {paths.data_place(setup.data): setup for setup in reversed(SETUPS.values())}
# What is made of the runs, and whether all of them must be there, is no part of what is studied.
ALLOW_MISSING = STUDY.pop("allow_missing", False)
TENSORBOARD = STUDY.pop("tensorboard", False)
STUDY.pop("allow_large", None)

RESULTS = f"results/{STUDY['study']}"
LOGS = f"logs/{STUDY['study']}"
LOCK = at_work.lock_of(STUDY["study"])
RUN = f"{RESULTS}{{place}}/{paths.RUN}"
SEEDS = variation.run_seeds(STUDY)
PROMISED = expand(RUN, place=SETUPS, l2=STUDY["lambdas"], seed=SEEDS)

if is_main() and stands_alone():
    refuse_unknown_results()

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]))


wildcard_constraints:
    place="(/setups/[^/]+)?",
    data="(/data/[^/]+)?",
    l2="[0-9.e-]+",
    seed="[0-9]+",
