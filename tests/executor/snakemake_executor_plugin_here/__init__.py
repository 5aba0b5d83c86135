"""A cluster of one machine for Snakemake: each job is a process of its own, as on a real cluster.

What Snakemake does with executors that send jobs away, it does with this one too, without Slurm.
Snakemake finds this folder where it is on PYTHONPATH, as `--executor here`.
"""

import subprocess
from pathlib import Path

from snakemake_interface_executor_plugins.executors.base import SubmittedJobInfo
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor
from snakemake_interface_executor_plugins.settings import CommonSettings

common_settings = CommonSettings(
    non_local_exec=True,
    implies_no_shared_fs=False,
    job_deploy_sources=False,
    pass_default_storage_provider_args=True,
    pass_default_resources_args=True,
    pass_envvar_declarations_to_cmd=False,
    auto_deploy_default_storage_provider=False,
    init_seconds_before_status_checks=0,
)


class Executor(RemoteExecutor):
    """Runs jobs as processes of this machine."""

    def run_job(self, job):
        """Start the Snakemake that does `job`.

        It dies at once where there is a file `down`, and fails at its end where there is `late`.
        """
        command = "exit 3" if Path("down").exists() else self.format_job_exec(job)
        command += "; exit 3" if Path("late").exists() else ""
        with open("here.log", "a") as log:
            process = subprocess.Popen(command, shell=True, stdout=log, stderr=log)
        self.report_job_submission(SubmittedJobInfo(job, aux={"process": process}))

    async def check_active_jobs(self, active_jobs):
        """Report which jobs have ended; yield the others."""
        for info in active_jobs:
            status = info.aux["process"].poll()
            if status is None:
                yield info
            elif status == 0:
                self.report_job_success(info)
            else:
                self.report_job_error(info, msg=f"exit status {status}. ")

    def cancel_jobs(self, active_jobs):
        """End jobs that have not ended."""
        for info in active_jobs:
            info.aux["process"].kill()
