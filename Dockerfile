# agentd with all its providers. Build: docker build -t agentd .   (--build-arg EXTRAS=openai,deepgram for fewer)
# Run: docker run --network host -e LIVEKIT_URL -e LIVEKIT_API_KEY -e LIVEKIT_API_SECRET \
#        -v ./agents.d:/etc/agentd/agents.d:ro -v agentd-state:/var/lib/agentd agentd
# Stop with patience: "docker stop -t 3600" lets the calls under way end; the default kills them after 10 s.

FROM python:3.12-slim-bookworm AS build
ARG EXTRAS=all
WORKDIR /src
RUN python -m venv /opt/agentd
# Only files that are known by their hashes; with fewer extras, the same versions.
COPY deploy/requirements.lock ./
RUN if [ "$EXTRAS" = all ]; then \
        /opt/agentd/bin/pip install --no-cache-dir --require-hashes -r requirements.lock; \
    else \
        sed -n 's/^\([^# ]*==[^ ]*\) .*/\1/p' requirements.lock > constraints.txt; \
    fi
COPY pyproject.toml README.md LICENSE ./
COPY agentd agentd
COPY plugins plugins
RUN if [ "$EXTRAS" = all ]; then \
        /opt/agentd/bin/pip install --no-cache-dir --no-deps .; \
    else \
        /opt/agentd/bin/pip install --no-cache-dir -c constraints.txt ".[${EXTRAS}]"; \
    fi

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="agentd" \
      org.opencontainers.image.description="A daemon that turns YAML files into voice agents in LiveKit rooms." \
      org.opencontainers.image.licenses="Apache-2.0"
RUN groupadd --gid 10001 agentd \
    && useradd --uid 10001 --gid agentd --no-log-init --create-home --home-dir /var/lib/agentd agentd
COPY --from=build /opt/agentd /opt/agentd
ENV PATH=/opt/agentd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AGENTD_ADMIN_ADDR=127.0.0.1:8081 \
    AGENTD_STORE=/var/lib/agentd
WORKDIR /etc/agentd
VOLUME /var/lib/agentd
USER 10001:10001
# Only the port is taken from the address: in the container the daemon answers on loopback too.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ['AGENTD_ADMIN_ADDR'].rpartition(':')[2] + '/livez', timeout=2)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentd"]
CMD ["serve"]
