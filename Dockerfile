# Headrace on the public image of Airflow. Every service of docker-compose.yaml runs from it.
ARG AIRFLOW_TAG=3.3.2-python3.11
FROM apache/airflow:${AIRFLOW_TAG}

USER root
# git: for DAGs from a repository (GitDagBundle). The folders: an empty volume takes its owner from them.
RUN command -v git >/dev/null \
 || { apt-get update && apt-get install -y --no-install-recommends git && rm -rf /var/lib/apt/lists/*; }
RUN install -d -o 50000 -g 0 -m 775 /opt/headrace /srv/headrace

USER 50000
COPY --chown=50000:0 requirements.txt /opt/headrace/
RUN pip install --no-cache-dir -r /opt/headrace/requirements.txt
COPY --chown=50000:0 . /opt/headrace
ENV PYTHONDONTWRITEBYTECODE=1
