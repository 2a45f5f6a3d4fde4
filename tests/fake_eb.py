"""An AWS on this machine, enough for the EB CLI: moto, and the calls that moto lacks.

    python -m venv .tools/moto && .tools/moto/bin/pip install 'moto[ec2,iam,s3,server]'
    MOTO_IAM_LOAD_MANAGED_POLICIES=true .tools/moto/bin/python tests/fake_eb.py -H 127.0.0.1 -p 5555
    export AWS_ENDPOINT_URL=http://127.0.0.1:5555

It proves what the client does: which calls, with which bundle. What AWS would then do with the
options, whether an instance gets healthy, what a role may: nothing of that is here. Environments
are ready at once. Refused is what AWS refuses first: names that don't exist or exist already, and
a bundle that isn't in S3, is no zip, or has nothing to build from.
"""

import io
import sys
import zipfile
from datetime import UTC, datetime

from moto.core.responses import ActionResult
from moto.elasticbeanstalk.exceptions import InvalidParameterValueError
from moto.elasticbeanstalk.responses import EBResponse
from moto.s3.models import s3_backends

PLATFORM = "Docker running on 64bit Amazon Linux 2023"
PLATFORM_VERSION = "4.9.0"

#: One of these has to be in a bundle, at its top.
BUILT_FROM = {"Dockerfile", "docker-compose.yml", "Dockerrun.aws.json"}

#: Versions by application and label; environments by name; the latest call's events, newest first.
VERSIONS: dict[tuple[str, str], dict] = {}
ENVIRONMENTS: dict[str, dict] = {}
EVENTS: list[dict] = []


class Calls:
    """The calls, named as moto looks them up: CreateEnvironment is ``create_environment``."""

    # platforms

    def list_platform_branches(self):
        branch = {"PlatformName": "Docker", "BranchName": PLATFORM, "LifecycleState": "Supported"}
        tiers = {"BranchOrder": 100, "SupportedTierList": ["WebServer/Standard"]}
        return ActionResult({"PlatformBranchSummaryList": [branch | tiers]})

    def list_platform_versions(self):
        return ActionResult({"PlatformSummaryList": [platform(self.region)]})

    def describe_platform_version(self):
        names = {"PlatformName": PLATFORM, "SolutionStackName": solution_stack()}
        return ActionResult({"PlatformDescription": platform(self.region) | names})

    # applications and their versions

    def describe_applications(self):
        asked = self._get_param("ApplicationNames", [])
        return ActionResult({"Applications": [
            {"ApplicationName": name, "Versions": [label for app, label in VERSIONS if app == name],
             "ConfigurationTemplates": [], **dates()}
            for name in self.elasticbeanstalk_backend.applications
            if not asked or name in asked
        ]})  # fmt: skip

    def create_storage_location(self):
        bucket = f"elasticbeanstalk-{self.region}-{self.current_account}"
        storage = s3_backends[self.current_account]["aws"]
        if bucket not in storage.buckets:
            storage.create_bucket(bucket, self.region)
        return ActionResult({"S3Bucket": bucket})

    def create_application_version(self):
        app, label = self._application(), self._get_param("VersionLabel")
        if (app, label) in VERSIONS:
            refuse(f"Application Version {label} already exists.")
        bundle = self._get_param("SourceBundle")
        if not BUILT_FROM & set(self._names_in(bundle)):
            refuse("'Dockerfile' and 'Dockerrun.aws.json' are both missing, abort deployment")
        VERSIONS[app, label] = {
            "ApplicationName": app, "VersionLabel": label, "SourceBundle": bundle,
            "Description": self._get_param("Description") or "", "Status": "UNPROCESSED", **dates(),
        }  # fmt: skip
        return ActionResult({"ApplicationVersion": VERSIONS[app, label]})

    def describe_application_versions(self):
        app, asked = self._get_param("ApplicationName"), self._get_param("VersionLabels", [])
        return ActionResult({"ApplicationVersions": [
            version for (name, label), version in VERSIONS.items()
            if name == app and (not asked or label in asked)
        ]})  # fmt: skip

    # environments

    def check_dns_availability(self):
        cname = self._cname(self._get_param("CNAMEPrefix"))
        taken = {environment["CNAME"] for environment in living()}
        return ActionResult({"Available": cname not in taken, "FullyQualifiedCNAME": cname})

    def create_environment(self):
        app, name = self._application(), self._get_param("EnvironmentName")
        label = self._get_param("VersionLabel")
        if (app, label) not in VERSIONS:
            refuse(f"No Application Version named '{label}' found.")
        if name in [environment["EnvironmentName"] for environment in living()]:
            refuse(f"Environment {name} already exists.")
        home = f"arn:aws:elasticbeanstalk:{self.region}:{self.current_account}"
        ENVIRONMENTS[name] = {
            "EnvironmentName": name, "EnvironmentId": f"e-{len(ENVIRONMENTS):010d}",
            "EnvironmentArn": f"{home}:environment/{app}/{name}", "ApplicationName": app,
            "VersionLabel": label, "CNAME": self._cname(self._get_param("CNAMEPrefix") or name),
            "PlatformArn": platform(self.region)["PlatformArn"],
            "SolutionStackName": solution_stack(), "AbortableOperationInProgress": False,
            "Status": "Ready", "Health": "Green", "HealthStatus": "Ok",
            "Tier": {"Name": "WebServer", "Type": "Standard", "Version": "1.0"},
            "OptionSettings": self._get_param("OptionSettings", []), **dates(),
        }  # fmt: skip
        tell(
            ENVIRONMENTS[name],
            "createEnvironment is starting.",
            f"Successfully launched environment: {name}",
        )
        return ActionResult(ENVIRONMENTS[name])

    def update_environment(self):
        environment = self._environment()
        label = self._get_param("VersionLabel")
        if label and (environment["ApplicationName"], label) not in VERSIONS:
            refuse(f"No Application Version named '{label}' found.")
        environment["VersionLabel"] = label or environment["VersionLabel"]
        tell(
            environment,
            "Environment update is starting.",
            "Environment update completed successfully.",
        )
        return ActionResult(environment)

    def swap_environment_cnam_es(self):  # as moto spells CNAMEs
        source, destination = (
            self._environment(self._get_param(f"{which}EnvironmentName"))
            for which in ("Source", "Destination")
        )
        source["CNAME"], destination["CNAME"] = destination["CNAME"], source["CNAME"]
        tell(
            source,
            "swapEnvironmentCNAMEs is starting.",
            "Completed swapping CNAMEs for environments",
        )
        return ActionResult({})

    def terminate_environment(self):
        environment = self._environment()
        environment["Status"] = "Terminated"
        tell(
            environment,
            "terminateEnvironment is starting.",
            "terminateEnvironment completed successfully.",
        )
        return ActionResult(environment)

    def describe_environments(self):
        app = self._get_param("ApplicationName")
        names, ids = self._get_param("EnvironmentNames", []), self._get_param("EnvironmentIds", [])
        return ActionResult({"Environments": [
            environment for environment in living()
            if (not app or environment["ApplicationName"] == app)
            and (not names or environment["EnvironmentName"] in names)
            and (not ids or environment["EnvironmentId"] in ids)
        ]})  # fmt: skip

    def describe_environment_resources(self):
        return ActionResult({"EnvironmentResources": {
            "EnvironmentName": self._get_param("EnvironmentName"), "Instances": [{"Id": "i-0"}],
            "AutoScalingGroups": [], "LoadBalancers": [], "LaunchConfigurations": [],
            "Triggers": [], "Queues": [],
        }})  # fmt: skip

    def describe_configuration_settings(self):
        environment = self._environment()
        # `eb terminate` reads this one, which AWS always has
        shared = {
            "Namespace": "aws:elasticbeanstalk:environment",
            "OptionName": "LoadBalancerIsShared",
            "Value": "false",
        }
        options = [*environment["OptionSettings"], shared]
        return ActionResult({"ConfigurationSettings": [environment | {"OptionSettings": options}]})

    def describe_events(self):
        asked = self._get_param("EnvironmentName")
        return ActionResult(
            {"Events": [each for each in EVENTS if asked in (None, each["EnvironmentName"])]}
        )

    # what the calls ask of themselves

    def _application(self):
        name = self._get_param("ApplicationName")
        if name not in self.elasticbeanstalk_backend.applications:
            refuse(f"No Application named '{name}' found.")
        return name

    def _environment(self, name=None):
        name = name or self._get_param("EnvironmentName")
        if name not in ENVIRONMENTS or ENVIRONMENTS[name]["Status"] == "Terminated":
            refuse(f"No Environment found for EnvironmentName = '{name}'.")
        return ENVIRONMENTS[name]

    def _names_in(self, bundle):
        storage = s3_backends[self.current_account]["aws"]
        try:
            content = storage.get_object(bundle["S3Bucket"], bundle["S3Key"]).value
            return zipfile.ZipFile(io.BytesIO(content)).namelist()
        except (AttributeError, KeyError, zipfile.BadZipFile) as error:
            return refuse(f"Unable to download from S3 location {bundle}: {error!r}")

    def _cname(self, prefix):
        return f"{prefix}.{self.region}.elasticbeanstalk.com"


def platform(region):
    """Return the one platform there is."""
    return {
        "PlatformArn": f"arn:aws:elasticbeanstalk:{region}::platform/{PLATFORM}/{PLATFORM_VERSION}",
        "PlatformOwner": "AWSElasticBeanstalk", "PlatformStatus": "Ready",
        "PlatformCategory": "Docker", "PlatformVersion": PLATFORM_VERSION,
        "PlatformLifecycleState": "Recommended",
        "PlatformBranchName": PLATFORM, "PlatformBranchLifecycleState": "Supported",
        "OperatingSystemName": "Amazon Linux", "OperatingSystemVersion": "2023",
        "SupportedTierList": ["WebServer/Standard"],
    }  # fmt: skip


def solution_stack():
    """Return the platform's older name."""
    return f"64bit Amazon Linux 2023 v{PLATFORM_VERSION} running Docker"


def living():
    """Return the environments that are not terminated."""
    return [each for each in ENVIRONMENTS.values() if each["Status"] != "Terminated"]


def dates():
    """Return when something was made."""
    return dict.fromkeys(("DateCreated", "DateUpdated"), datetime.now(UTC))


def tell(environment, *messages):
    """Make ``messages`` the events.

    Only the latest call's are kept: eb asks for them by an id that moto makes up too late.
    """
    about = {key: environment[key] for key in ("ApplicationName", "EnvironmentName")}
    EVENTS[:] = [
        {"EventDate": datetime.now(UTC), "Message": message, "Severity": "INFO", **about}
        for message in reversed(messages)
    ]


def refuse(why):
    """Answer as AWS does to a request it can't carry out."""
    raise InvalidParameterValueError(why)


for name, call in vars(Calls).items():
    if callable(call):
        setattr(EBResponse, name, call)

if __name__ == "__main__":
    from moto.server import main

    main(sys.argv[1:])
