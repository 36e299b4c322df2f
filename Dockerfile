# The flight image: runtime only, no torch. Works with the public base image or a locally made one of the same name.
ARG BASE_IMAGE=python:3.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY downlink downlink
COPY onboard onboard
COPY ground ground
COPY mission mission
RUN python3 -m venv /opt/tianshu && /opt/tianshu/bin/pip install --no-cache-dir --quiet .

FROM ${BASE_IMAGE}
COPY --from=build /opt/tianshu /opt/tianshu
COPY sample_data/*.tif sample_data/*.geojson /opt/sample_data/
ENV PATH=/opt/tianshu/bin:$PATH OPENVINO_TELEMETRY=false
USER 1000:1000
WORKDIR /out
ENTRYPOINT ["tianshu"]
