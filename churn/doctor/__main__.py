"""Say what stands between this checkout and a service that runs, here and on Elastic Beanstalk."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from churn.doctor import bundle, image, machine, model, options, packages
from churn.doctor.findings import Finding
from churn.doctor.project import Project

EXAMPLES = """\
examples:
  pipenv run doctor                 what to mend before `docker build` or `eb deploy`
  pipenv run doctor --bundle        the same, and each file that `eb deploy` would send
  python -m churn.doctor ../other   another checkout, with any Python from 3.11 on

✗ is to be mended, · only to be known.
Exit code 0: nothing to mend; 1: something; 2: a mistake in the command.
"""

#: Every check, in the order of its findings on the screen.
CHECKS: tuple[Callable[[Project], list[Finding]], ...] = (
    machine.python_is_new_enough,
    machine.pipenv_is_there,
    machine.docker_runs,
    machine.eb_is_there,
    machine.port_is_free,
    model.model_serves,
    model.model_is_of_this_scikit_learn,
    packages.pipfile_is_readable,
    packages.packages_are_meant,
    packages.gunicorn_is_locked,
    packages.lock_is_fresh,
    packages.python_is_asked_for_once,
    packages.pythons_agree,
    image.dockerfile_is_there,
    image.first_from_is_literal,
    image.port_is_exposed,
    image.needs_no_buildkit,
    image.copied_files_will_be_there,
    bundle.changes_are_committed,
    bundle.platform_is_docker_alone,
    bundle.holds_no_secrets,
    bundle.fits,
    bundle.hooks_can_run,
    bundle.nginx_lets_bodies_through,
    bundle.eb_is_set_up_for_docker,
    options.files_are_read,
    options.files_are_well_formed,
    options.options_exist,
    options.values_are_allowed,
    options.options_agree,
    options.rules_are_json,
    options.placeholders_are_filled,
    options.variables_are_settings,
    options.secrets_are_secret,
    options.health_path_is_answered,
    options.port_is_the_images,
)


def findings(project: Project) -> list[Finding]:
    """Return what every check found, in the order of the checks."""
    return [finding for check in CHECKS for finding in check(project)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Examine as the command line says; return the exit code."""
    asked = parser().parse_args(arguments)
    if not asked.folder.is_dir():
        parser().error(f"no folder {asked.folder}")
    project = Project(asked.folder.resolve())
    found = findings(project)
    for finding in found:
        print(finding)
    if asked.bundle:
        for name, size in sorted(project.bundle.sizes.items()):
            print(f"{size:>10,}  {name}")
    print(summary(project, found))
    return 1 if any(finding.serious for finding in found) else 0


def summary(project: Project, found: Sequence[Finding]) -> str:
    """Return the last lines: how it stands, and what would be deployed."""
    mend = sum(finding.serious for finding in found)
    know = len(found) - mend
    sizes = project.bundle.sizes
    size = sum(sizes.values()) / 1e6
    return (
        f"{len(CHECKS)} checks: {mend or 'nothing'} to mend, {know or 'nothing'} to know.\n"
        f"`eb deploy` would send {project.bundle.origin}: {len(sizes)} files, {size:.1f} MB."
    )


def parser() -> argparse.ArgumentParser:
    """Return the command line's description."""
    made = argparse.ArgumentParser(
        prog="doctor",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("folder", nargs="?", type=Path, default=Path(), help="the checkout (here)")
    made.add_argument("--bundle", action="store_true", help="list the files that would be deployed")
    return made


if __name__ == "__main__":
    sys.exit(main())
