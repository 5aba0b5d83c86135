# What this invocation is about. A run is one lambda and one seed.
STUDY = read_study()
# What is made of the runs, and whether all of them must be there, is no part of what is studied.
ALLOW_MISSING = STUDY.pop("allow_missing", False)
TENSORBOARD = STUDY.pop("tensorboard", False)

RESULTS = f"results/{STUDY['study']}"
LOGS = f"logs/{STUDY['study']}"
LOCK = f".snakemake/at-work/{STUDY['study']}"
RUN = f"{RESULTS}/{paths.RUN}"
PROMISED = expand(RUN, l2=STUDY["lambdas"], seed=STUDY["seeds"])

# A job's `python` is the one that runs Snakemake, whether or not its environment is activated.
os.environ.update(PATH=os.pathsep.join([os.path.dirname(sys.executable), os.getenv("PATH", "")]))
