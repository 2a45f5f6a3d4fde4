# docker build -t churn-serving .
# docker run --rm -p 9696:9696 churn-serving
#
# Plain enough for every builder (no BuildKit needed), because the EB CLI and Elastic Beanstalk bring theirs; and `eb local run`
# reads the first FROM and the EXPOSE as they stand, so neither may hold a variable.

FROM python:3.13-slim AS environment

# A model that is not additive (a random forest, say) is scored by scikit-learn itself, which is in the category "train":
#   docker build --build-arg CATEGORIES="packages train" -t churn-serving .
# Elastic Beanstalk passes no build arguments: change the default here instead.
ARG CATEGORIES=packages

RUN python -m venv /pipenv && /pipenv/bin/pip install --no-cache-dir --quiet "pipenv>=2026"
# The service's own environment has no pip. Its path is the same here and below, as scripts in it name it.
RUN python -m venv --without-pip /opt/venv
ENV VIRTUAL_ENV=/opt/venv PIPENV_VERBOSITY=-1 PIPENV_NOSPIN=1 PIP_NO_CACHE_DIR=1

# The lock before the code: while it stays the same, so does this layer, and a build takes seconds.
WORKDIR /build
COPY Pipfile Pipfile.lock ./
RUN /pipenv/bin/pipenv install --deploy --categories "$CATEGORIES"


FROM python:3.13-slim

# A service installs nothing: what isn't there can't be used by whoever gets in.
RUN python -m pip uninstall --yes --quiet --root-user-action=ignore pip

COPY --from=environment /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 HOME=/tmp

WORKDIR /app
COPY gunicorn.conf.py predict.py ./
COPY churn churn
# The pattern lets a model without a manifest through: it was trained elsewhere.
COPY churn-model.bin churn-model.jso[n] ./
# Compiled now, as the root may be read-only later; readable whatever the umask was where the files come from.
RUN python -m compileall -q --invalidation-mode unchecked-hash . && chmod -R a+rX .

# A number, so that a cluster that forbids root can see that this isn't.
USER 10001:10001
EXPOSE 9696
# slim has no curl. http.client, as urllib would go through a proxy named in the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 CMD ["python", "-c", "import http.client, os, sys; c = http.client.HTTPConnection('127.0.0.1', int(os.environ.get('PORT') or 9696), timeout=4); c.request('GET', '/ready'); sys.exit(c.getresponse().status != 200)"]
# gunicorn is process 1 and gets docker's SIGTERM itself. Everything else is in gunicorn.conf.py; what is added to
# `docker run churn-serving` is added here.
ENTRYPOINT ["gunicorn", "predict:app"]

ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="churn-serving" \
      org.opencontainers.image.description="The probability that a customer leaves, as a web service" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
