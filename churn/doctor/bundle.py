"""What ``eb deploy`` sends, which is seldom what lies on the disk."""

from __future__ import annotations

import re

from churn.doctor.findings import Finding
from churn.doctor.project import Project
from churn.settings import Settings

#: What the service, its image and its environment are made of.
_MATTERS = re.compile(
    r"(churn/|churn-model\.|predict\.py|gunicorn\.conf\.py|Pipfile|Dockerfile|\.dockerignore|\.ebextensions/|\.platform/)"
)

#: Files that hold secrets, whatever they are called before the dot.
_SECRET = re.compile(
    r"(^|/)(\.env(\..+)?|.*\.pem|.*\.p12|id_rsa|id_ed25519|credentials|\.netrc|\.pypirc)$"
)

#: Elastic Beanstalk takes no larger one.
_LARGEST = 500 * 1024**2


def changes_are_committed(project: Project) -> list[Finding]:
    """Without an .ebignore, what isn't committed isn't deployed."""
    if (project.root / ".ebignore").exists():
        return []
    changed = project.run("git", "status", "--porcelain", "--untracked-files=all", "-z").stdout
    names = [entry[3:] for entry in changed.split("\0") if _MATTERS.match(entry[3:])]
    if not names:
        return []
    first = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
    what = "not committed: `eb deploy` sends the last commit, so it would go without"
    some = " ".join(names[:3]) + " …" * (len(names) > 3)
    cure = f"git add {some} && git commit  # or only add, and: eb deploy --staged"
    return [Finding(what, first, cure, serious=False)]


def platform_is_docker_alone(project: Project) -> list[Finding]:
    """These files take Elastic Beanstalk off the road that the Dockerfile is on."""
    found = []
    for name in ("docker-compose.yml", "docker-compose.yaml", "Dockerrun.aws.json"):
        if name in project.bundle.sizes:
            what = "in the bundle it replaces the Dockerfile, nginx and `eb local run`"
            found.append(Finding(what, name, f"git mv {name} dev-{name}"))
    return found


def holds_no_secrets(project: Project) -> list[Finding]:
    """A bundle lies in S3 for years, and every instance has a copy."""
    return [
        Finding(
            "a secret in the bundle", name, f"git rm --cached {name} && echo {name} >> .gitignore"
        )
        for name in project.bundle.sizes
        if _SECRET.search(name)
    ]


def fits(project: Project) -> list[Finding]:
    """Elastic Beanstalk has a limit, and so has patience."""
    total = sum(project.bundle.sizes.values())
    if total <= _LARGEST:
        return []
    largest = max(project.bundle.sizes, key=lambda name: project.bundle.sizes[name])
    what = (
        f"the bundle has {total / 1024**2:.0f} MB, and 500 is the limit; the largest is {largest}"
    )
    return [Finding(what, ".ebignore", largest)]


def hooks_can_run(project: Project) -> list[Finding]:
    """Hooks need the executable bit, in git too."""
    hooks = project.run(
        "git", "ls-files", "--stage", ".platform/hooks", ".platform/confighooks"
    ).stdout
    entries = [line.split("\t") for line in hooks.splitlines()]
    return [
        Finding(
            "not executable, and a deployment stops at it",
            name,
            f"git update-index --chmod=+x {name}",
        )
        for about, name in entries
        if not about.startswith("100755")
    ]


def nginx_lets_bodies_through(project: Project) -> list[Finding]:
    """nginx's own limit is 1 MB, and its refusal a page of HTML."""
    name = ".platform/nginx/nginx.conf"
    written = re.search(
        r"^\s*client_max_body_size\s+(\d+)([kmg]?);",
        project.text(name),
        re.MULTILINE | re.IGNORECASE,
    )
    size = int(written[1]) * 1024 ** " kmg".index(written[2].lower() or " ") if written else 1024**2
    raised = re.search(r"CHURN_MAX_BODY:\s*\"?(\d+)", "".join(map(project.text, _configs(project))))
    wanted = int(raised[1]) if raised else Settings.max_body
    if size >= wanted:
        return []
    what = f"nginx lets {size:,} bytes through, and the service would take {wanted:,}"
    place = project.line(name, "client_max_body_size")
    return [Finding(what, place, f"client_max_body_size {wanted // 1024**2 + 1}m;")]


def eb_is_set_up_for_docker(project: Project) -> list[Finding]:
    """`eb init -p docker` of an older EB CLI chose platforms that have ended."""
    name = ".elasticbeanstalk/config.yml"
    platform = re.search(r"default_platform:\s*(.+)", project.text(name))
    if platform is None or re.search(r"Docker running on 64bit Amazon Linux 20\d\d", platform[1]):
        return []
    what = f"the platform is {platform[1]}; `eb local run` and `eb create` need Docker's"
    cure = "default_platform: Docker running on 64bit Amazon Linux 2023"
    return [Finding(what, project.line(name, "default_platform"), cure)]


def _configs(project: Project) -> list[str]:
    return [
        f".ebextensions/{path.name}"
        for path in sorted((project.root / ".ebextensions").glob("*.config"))
    ]
