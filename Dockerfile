# The flight image, which is the ground's as well: CPU only, runtime only, no torch. It builds on the public base image or on
# one made by containers/base_image.sh. Sources are copied last: a change of them installs no dependency again.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS requirements
COPY pyproject.toml .
RUN python3 -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"], sep="\n")' \
    > /requirements.txt

FROM ${BASE_IMAGE} AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip and setuptools stay behind in an environment of their own.
RUN python3 -m venv /opt/pip && /opt/pip/bin/pip install --quiet "setuptools>=77" wheel \
    && python3 -m venv --without-pip /opt/tianshu
COPY --from=requirements /requirements.txt /
COPY containers/slim.sh /
RUN /opt/pip/bin/pip --python /opt/tianshu/bin/python install --quiet --requirement /requirements.txt \
    && sh /slim.sh /opt/tianshu
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY downlink downlink
COPY onboard onboard
COPY ground ground
COPY mission mission
RUN /opt/pip/bin/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/pip/bin/pip --python /opt/tianshu/bin/python install --quiet --no-deps --target /opt/package /wheels/*.whl \
    && rm -r /opt/package/onboard/models/*.pt /opt/package/onboard/models/*/*.pt /opt/package/onboard/models/*/folds \
    && find /opt/package/onboard/models -name '*.onnx' ! -name '*_int8.onnx' -delete

FROM ${BASE_IMAGE}
# What the services keep; a named volume takes over the owner of the folder that it is mounted on.
RUN mkdir -p /state /spool /power /load /out && chown 1000:1000 /state /spool /power /load /out
COPY --from=build /opt/tianshu /opt/tianshu
COPY sample_data/*.tif sample_data/*.geojson /opt/sample_data/
COPY containers/harbour.toml /opt/harbour.toml
COPY --from=build /opt/package /opt/package
ENV PATH=/opt/package/bin:/opt/tianshu/bin:$PATH PYTHONPATH=/opt/package
USER 1000:1000
WORKDIR /out
ENTRYPOINT ["tianshu"]
