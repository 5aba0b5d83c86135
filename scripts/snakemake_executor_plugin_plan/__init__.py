"""An executor for Snakemake that says what a dry run would do, for programs to read.

Each job is a line of JSON on the standard output, with its rule, outputs and params. A dry run also
asks every job for its command, resources and reason, and that takes nearly as long as all the rest.
Snakemake finds this folder where it is on PYTHONPATH, as `--executor plan`.
"""

import json

from snakemake_interface_executor_plugins.executors.base import AbstractExecutor, SubmittedJobInfo
from snakemake_interface_executor_plugins.jobs import JobExecutorInterface
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=False, implies_no_shared_fs=False, job_deploy_sources=False, dryrun_exec=True
)


class Executor(AbstractExecutor):
    """Prints every job, and counts it as done."""

    def run_job_pre(self, job: JobExecutorInterface) -> None:
        """Print what is to be known of a job, or of the jobs of a group."""
        for one in job.jobs if job.is_group() else [job]:
            params = dict(one.params.items())
            print(json.dumps({"rule": one.rule.name, "output": one.output, "params": params}))

    def run_job(self, job: JobExecutorInterface) -> None:
        """Do nothing, and say that it is done."""
        self.report_job_submission(SubmittedJobInfo(job))
        self.report_job_success(SubmittedJobInfo(job))

    def shutdown(self, *job: JobExecutorInterface) -> None:
        """Nothing is at work, nothing has been made, and nothing can fail."""

    cancel = handle_job_success = handle_job_error = shutdown
