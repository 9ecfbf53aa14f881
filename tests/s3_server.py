"""A bucket of moto's S3 server, for tests of what is stored there."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

needs_s3 = pytest.mark.skipif(
    importlib.util.find_spec("moto") is None or importlib.util.find_spec("s3fs") is None,
    # They are not in [dev]: pip searches for minutes until it has releases of botocore that suit both.
    reason="a server and a client of S3: pip install 'moto[server,s3]' s3fs",
)


def running_bucket() -> Iterator[str]:
    """Start the server, and yield the URL of an empty bucket."""
    import boto3
    import s3fs
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        }.items():
            environment.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="plant")
        s3fs.S3FileSystem.clear_instance_cache()  # it would go on to ask an earlier server
        yield "s3://plant"
    server.stop()
