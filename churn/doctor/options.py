"""``.ebextensions/*.config``: the EB CLI sends them unread; a fault shows minutes later, in AWS."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from churn.doctor.findings import Finding
from churn.doctor.project import Project
from churn.errors import SettingsError
from churn.settings import Settings

#: A node of PyYAML, which is imported only where a file is read.
Node = Any

FOLDER = ".ebextensions"

#: What a configuration file may hold at its top.
SECTIONS = (
    "option_settings", "Resources", "Parameters", "Outputs", "Mappings", "packages", "groups",
    "users", "sources", "files", "commands", "services", "container_commands",
)  # fmt: skip

#: Namespaces whose names are environment variables, the second one's values ARNs of secrets.
VARIABLES = "aws:elasticbeanstalk:application:environment"
SECRETS = "aws:elasticbeanstalk:application:environmentsecrets"

#: An ARN or an identifier that is still as it stands in deploy/elastic-beanstalk/.
_PLACEHOLDER = re.compile(r"\b(REGION|ACCOUNT|SUFFIX|PRIVATE-[AB])\b|[-/]ID\b")


@dataclass(frozen=True)
class Setting:
    """One option, as a file sets it."""

    namespace: str
    name: str
    value: str
    where: str


class _Unreadable(Exception):
    """A file can't be read as what it should be; carries the finding."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


def files_are_read(project: Project) -> list[Finding]:
    """Elastic Beanstalk reads ``.ebextensions/*.config`` and passes over everything else there."""
    found = []
    for path in sorted((project.root / FOLDER).rglob("*")):
        if path.is_file() and (path.suffix != ".config" or path.parent.name != FOLDER):
            name = path.relative_to(project.root).as_posix()
            cure = f"git mv {name} {FOLDER}/{path.stem}.config"
            found.append(
                Finding("only files named *.config, right in this folder, are read", name, cure)
            )
    return found


def files_are_well_formed(project: Project) -> list[Finding]:
    """YAML that can be read, and sections that there are."""
    return list(_read(project)[1])


def options_exist(project: Project) -> list[Finding]:
    """An option that isn't one stops a deployment, or is passed over."""
    found = []
    for setting in settings(project):
        names = ALLOWED.get(setting.namespace)
        if names is None:
            near = _closest(setting.namespace, ALLOWED)
            what = f"the doctor knows no namespace {setting.namespace}"
            cure = (
                f"{near}:"
                if near
                else "look it up under “Configuration options” in AWS's documentation"
            )
            found.append(Finding(what, setting.where, cure, serious=near is not None))
        elif setting.name not in names and "*" not in names:
            near = _closest(setting.name, names)
            what = f"{setting.namespace} has no option {setting.name}"
            cure = f"{near}: {setting.value}" if near else f"one of: {', '.join(names)}"
            found.append(Finding(what, setting.where, cure))
    return found


def values_are_allowed(project: Project) -> list[Finding]:
    """Each option has its range or its words."""
    found = []
    for setting in settings(project):
        names = ALLOWED.get(setting.namespace, {})
        wanted = _misfit(setting.value, names.get(setting.name, "text"))
        if wanted is not None:
            near = _closest(setting.value, wanted) or wanted[0]
            what = f"{setting.name} is {setting.value!r}; it must be {' or '.join(wanted)}"
            found.append(Finding(what, setting.where, f"{setting.name}: {near}"))
    return found


def options_agree(project: Project) -> list[Finding]:
    """Some options make sense only together."""
    by_name = {(each.namespace.split(":")[-1], each.name): each for each in settings(project)}
    found = []

    def number(namespace: str, name: str, default: int) -> int:
        setting = by_name.get((namespace, name))
        return int(setting.value) if setting and re.fullmatch(r"-?\d+", setting.value) else default

    def check(namespace: str, name: str, right: bool, what: str, cure: str) -> None:
        setting = by_name.get((namespace, name))
        if not right:
            found.append(Finding(what, setting.where if setting else FOLDER, f"{name}: {cure}"))

    least, most = number("asg", "MinSize", 1), number("asg", "MaxSize", 4)
    check(
        "asg",
        "MaxSize",
        least <= most,
        f"at least {least} instances, and at most {most}",
        str(least),
    )
    breach = number("trigger", "Period", 5) * number("trigger", "EvaluationPeriods", 1)
    what = f"BreachDuration has to be Period times EvaluationPeriods, {breach}"
    check(
        "trigger",
        "BreachDuration",
        number("trigger", "BreachDuration", 5) == breach,
        what,
        str(breach),
    )
    interval = number("default", "HealthCheckInterval", 15)
    shorter = number("default", "HealthCheckTimeout", 5) < interval
    what = f"a health check has to end before the next one, {interval} s later"
    check("default", "HealthCheckTimeout", shorter, what, str(interval - 1))
    lower, upper = number("trigger", "LowerThreshold", 0), number("trigger", "UpperThreshold", 1)
    what = f"instances would come at {upper} and go at {lower}: up and down for ever"
    check("trigger", "LowerThreshold", lower < upper, what, str(upper // 3))
    return found


def rules_are_json(project: Project) -> list[Finding]:
    """The health rules are a JSON document inside the YAML."""
    found = []
    for setting in settings(project):
        if setting.name == "ConfigDocument":
            try:
                json.loads(setting.value)
            except ValueError as error:
                found.append(
                    Finding(
                        f"ConfigDocument is no JSON: {error}", setting.where, "see health.config"
                    )
                )
    return found


def placeholders_are_filled(project: Project) -> list[Finding]:
    """A file switched on from deploy/elastic-beanstalk/ has blanks to fill."""
    return [
        Finding(
            f"{each.name} still has {blank.group()} in it", each.where, f"{each.name}: (your own)"
        )
        for each in settings(project)
        if each.namespace != VARIABLES and (blank := _PLACEHOLDER.search(each.value))
    ]


def variables_are_settings(project: Project) -> list[Finding]:
    """The service's own settings, checked as the service checks them at its start."""
    found = []
    known = sorted(set(re.findall(r"\bCHURN_[A-Z0-9_]+\b", project.text("churn/settings.py"))))
    for setting in settings(project):
        ours = setting.namespace in {VARIABLES, SECRETS} and setting.name.startswith("CHURN_")
        if ours and setting.name not in known:
            near = _closest(setting.name, known)
            cure = f"{near}: {setting.value}" if near else f"one of: {', '.join(known)}"
            found.append(Finding(f"the service has no setting {setting.name}", setting.where, cure))
        if setting.namespace == VARIABLES:
            found += _unusable(project, setting)
    return found


def secrets_are_secret(project: Project) -> list[Finding]:
    """What stands in a file of the repository, or in a plain variable, is no secret."""
    found = []
    for each in settings(project):
        if each.namespace == VARIABLES and re.search(r"KEY|SECRET|TOKEN|PASSWORD", each.name):
            what = f"{each.name} stands here, and in the console, for everyone to read"
            cure = f"cp deploy/elastic-beanstalk/api-key.config {FOLDER}/  # and take it out here"
            found.append(Finding(what, each.where, cure))
        if each.namespace == SECRETS and not each.value.startswith("arn:"):
            what = f"{each.name} has to be the ARN of a secret, not the secret"
            found.append(Finding(what, each.where, f"{each.name}: arn:aws:secretsmanager:…"))
    return found


def health_path_is_answered(project: Project) -> list[Finding]:
    """A health check on a path that the service has not makes the whole environment “Severe”."""
    sources = "".join(
        path.read_text(encoding="utf-8") for path in (project.root / "churn" / "web").rglob("*.py")
    )
    sources += project.text("predict.py")
    found = []
    for each in settings(project):
        if each.name in {"HealthCheckPath", "Application Healthcheck URL"}:
            path = re.sub(r"^HTTPS?:\d+", "", each.value).split("?")[0]
            if f'"{path}"' not in sources:
                what = f"health is asked for at {each.value}, where the service answers 404"
                found.append(Finding(what, each.where, f"{each.name}: /ready"))
    return found


def port_is_the_images(project: Project) -> list[Finding]:
    """nginx sends to EXPOSE; a PORT set here would move the service away from it."""
    exposed = re.search(r"^EXPOSE (\d+)", project.text("Dockerfile"), re.MULTILINE)
    return [
        Finding(
            f"PORT is {each.value}, but nginx sends to the Dockerfile's EXPOSE {exposed.group(1)}",
            each.where,
            f"PORT: {exposed.group(1)}  # or take the line out",
        )
        for each in settings(project)
        if each.namespace == VARIABLES
        and each.name == "PORT"
        and exposed
        and each.value != exposed.group(1)
    ]


def settings(project: Project) -> list[Setting]:
    """Return every option that a readable file sets, in the order Elastic Beanstalk reads them."""
    return _read(project)[0]


def allowed() -> dict[str, dict[str, Any]]:
    """Return what each namespace's options may be, from ``options.toml``."""
    return tomllib.loads(Path(__file__).with_name("options.toml").read_text(encoding="utf-8"))


#: Read once: it is data of this module, as a table in it would be.
ALLOWED = allowed()


@cache
def _read(project: Project) -> tuple[list[Setting], list[Finding]]:
    try:
        import yaml
    except ModuleNotFoundError:
        if not list((project.root / FOLDER).glob("*.config")):
            return [], []
        what = "not checked: reading YAML needs PyYAML, which this environment lacks"
        return [], [Finding(what, FOLDER, "pipenv sync --all", serious=False)]

    found: list[Setting] = []
    unreadable: list[Finding] = []
    for path in sorted((project.root / FOLDER).glob("*.config")):
        name = f"{FOLDER}/{path.name}"
        try:
            found += _settings(name, yaml.compose(path.read_text(encoding="utf-8")))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            cure = "indent with spaces, two a level; put quotes around values with a colon or a {"
            unreadable.append(Finding(f"no YAML: {error.problem}", f"{name}:{line}", cure))
        except UnicodeDecodeError:
            unreadable.append(Finding("not written in UTF-8", name, "save it as UTF-8"))
        except _Unreadable as error:
            unreadable.append(error.finding)
    return found, unreadable


def _settings(name: str, top: Node | None) -> Iterator[Setting]:
    """Yield the options of one file, in either of the two forms that Elastic Beanstalk takes."""
    for key, value, where in _pairs(name, top, "option_settings:"):
        if key not in SECTIONS:
            near = _closest(key, SECTIONS)
            cure = f"{near}:" if near else f"one of: {', '.join(SECTIONS)}"
            raise _Unreadable(Finding(f"no section is named {key}", where, cure))
        if key == "option_settings" and value.id == "sequence":
            yield from _listed(name, value.value)
        elif key == "option_settings":
            for namespace, options, place in _pairs(name, value, "option_settings:"):
                for option, text, line in _pairs(name, options, f"{namespace}:", place):
                    yield Setting(namespace, option, _scalar(text, line, option), line)


def _listed(name: str, entries: list[Node]) -> Iterator[Setting]:
    for entry in entries:
        keys = {key: (value, where) for key, value, where in _pairs(name, entry, "namespace:")}
        where = _where(name, entry)
        if "option_name" not in keys or "value" not in keys:
            cure = "- {namespace: …, option_name: …, value: …}"
            raise _Unreadable(Finding("an entry lacks option_name or value", where, cure))
        option = _scalar(*keys["option_name"], "option_name")
        namespace = _scalar(*keys["namespace"], "namespace") if "namespace" in keys else VARIABLES
        yield Setting(namespace, option, _scalar(*keys["value"], option), where)


def _pairs(
    name: str, node: Node | None, wanted: str, where: str = ""
) -> list[tuple[str, Node, str]]:
    """Return a mapping's keys, values and places; YAML itself drops the first of two like keys."""
    if node is None or node.id != "mapping":
        place = _where(name, node) if node else where or name
        raise _Unreadable(
            Finding(
                f"nothing can be read under {wanted}", place, f"{wanted} with “name: value” below"
            )
        )
    found = [(str(key.value), value, _where(name, key)) for key, value in node.value]
    seen: set[str] = set()
    for key, _, place in found:
        if key in seen:
            raise _Unreadable(
                Finding(f"{key} comes twice; only the last would count", place, "make them one")
            )
        seen.add(key)
    return found


def _scalar(node: Node, where: str, option: str) -> str:
    if node.id != "scalar":
        raise _Unreadable(Finding(f"{option} has to be one value", where, f"{option}: …"))
    return str(node.value)


def _where(name: str, node: Node) -> str:
    return f"{name}:{node.start_mark.line + 1}"


def _misfit(value: str, allowed: list[str] | str) -> list[str] | None:
    """Return what is allowed, in words, if ``value`` isn't."""
    if isinstance(allowed, list):
        return None if value in allowed else allowed
    if allowed == "true or false":
        return None if value.lower() in {"true", "false"} else ["true", "false"]
    if ".." in allowed:
        least, most = map(int, allowed.split(".."))
        fits = re.fullmatch(r"-?\d{1,12}", value) and least <= int(value) <= most
        return None if fits else [f"{least} to {most}"]
    return None


def _unusable(project: Project, setting: Setting) -> list[Finding]:
    try:
        Settings.from_env({setting.name: setting.value}, project.root)
    except SettingsError as error:
        return [Finding(str(error), setting.where, f"{setting.name}: …  # {error}")]
    return []


def _closest(word: str, known: Collection[str]) -> str | None:
    if word.isdigit() and all(each.isdigit() for each in known):
        return min(known, key=lambda each: abs(int(each) - int(word)))
    near = difflib.get_close_matches(
        word.lower(), [each.lower() for each in known], n=1, cutoff=0.7
    )
    return next((each for each in known if near and each.lower() == near[0]), None)
