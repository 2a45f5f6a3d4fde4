"""What stands between this checkout and a service that runs: ``python -m churn.doctor``.

::

    findings ← project ← options, image, bundle, packages, model, machine ← __main__

Each module holds the checks of one concern. A check takes the project and returns its findings;
none changes anything. They need no package installed (only ``options`` needs one, PyYAML), as a
broken environment is what a doctor is called for.
"""
