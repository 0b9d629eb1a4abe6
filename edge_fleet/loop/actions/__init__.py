"""Where trainings run: on this machine, as a GitHub workflow, as a Jenkins job."""
