# One image for all services: the dashboard by default, a worker or the recorder with another command.
FROM python:3.11-slim-bookworm

ENV PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PYTHONPATH=/opt/ticketscope \
    TICKETSCOPE_HOME=/var/lib/ticketscope \
    NUMBA_CACHE_DIR=/var/lib/ticketscope/numba

WORKDIR /opt/ticketscope

COPY requirements.txt requirements-notify.txt constraints.txt ./
RUN pip install --no-cache-dir -r requirements.txt -r requirements-notify.txt -c constraints.txt

COPY LICENSE ./
COPY engine engine
COPY data data
COPY tasks tasks
COPY app app
COPY ticketscope ticketscope
COPY studies studies
RUN printf '#!/bin/sh\nexec python -m tasks "$@"\n' > /usr/local/bin/ticketscope && chmod 755 /usr/local/bin/ticketscope

# A new volume gets its owner from the folder that it is mounted over.
RUN groupadd --system --gid 10001 ticketscope \
    && useradd --system --uid 10001 --gid 10001 --no-create-home ticketscope \
    && install -d -o ticketscope -g ticketscope /var/lib/ticketscope
USER 10001
VOLUME /var/lib/ticketscope

EXPOSE 8501
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

CMD ["python", "-m", "streamlit", "run", "app/serve.py", "--server.address", "0.0.0.0", "--server.port", "8501"]
