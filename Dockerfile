# synvita in a container, for a CPU or, with another base, for NVIDIA GPUs. This file was not built where it was written
# (there was no Docker): a line may want mending.
#
#   docker build -t synvita .
#   docker run --rm -v "$PWD:/work" synvita rank clips.csv --out ranked/
#
# For a GPU take a base with CUDA (Ubuntu 24.04). TORCH_INDEX is an index with the build of PyTorch that you want, for
# this CUDA or for CPUs; without it pip's own choice is installed:
#
#   docker build -t synvita --build-arg BASE=nvidia/cuda:12.8.1-runtime-ubuntu24.04 --build-arg TORCH_INDEX=URL .
#   docker run --rm --gpus all -v "$PWD:/work" synvita rank clips.csv --scorer qwen3_vl --device cuda --out ranked/
ARG BASE=ubuntu:24.04
FROM ${BASE}
ARG TORCH_INDEX=

RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-venv ca-certificates \
 && rm -rf /var/lib/apt/lists/* \
 && python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH

WORKDIR /opt/synvita
COPY constraints.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} torch
COPY pyproject.toml setup.py MANIFEST.in README.md LICENSE ./
COPY synvita ./synvita
RUN pip install --no-cache-dir --constraint constraints.txt ${TORCH_INDEX:+--extra-index-url ${TORCH_INDEX}} '.[generators]'

# Nobody's files end up as root's: run as the user who owns the mounted folder, with -u "$(id -u):$(id -g)".
ENV HOME=/tmp
WORKDIR /work
ENTRYPOINT ["synvita"]
