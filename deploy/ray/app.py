"""The service as a deployment of Ray Serve: the same routes and settings, with Ray's proxy, autoscaling and restarts.

    serve run deploy.ray.app:app

from the root of a checkout, in an environment with the runtime dependencies and `ray[serve]`. Every replica is a whole
service without its own listener: it loads the models, has an engine process, and is replaced when that stays dead.
ATTENDANT_ variables set it up as they do elsewhere, except for the address, and for the stop, which is Ray's.
"""

import os

from ray import serve

from deploy.ray.replica import CPUS, build, check

MIN_REPLICAS = int(os.environ.get("RAY_ATTENDANT_MIN_REPLICAS", "2"))
MAX_REPLICAS = int(os.environ.get("RAY_ATTENDANT_MAX_REPLICAS", "10"))


@serve.deployment(
    name="attendant",
    ray_actor_options={"num_cpus": CPUS},
    max_ongoing_requests=128,  # ATTENDANT_MAX_REQUESTS, which counts in our own listener only
    max_queued_requests=256,  # of each proxy, for all replicas: further requests get 503
    health_check_period_s=2,
    health_check_timeout_s=10,
    graceful_shutdown_wait_loop_s=1,
    graceful_shutdown_timeout_s=35,
    autoscaling_config={
        "min_replicas": MIN_REPLICAS,
        "max_replicas": MAX_REPLICAS,
        "target_ongoing_requests": 32,
        "upscale_delay_s": 5,
        "downscale_delay_s": 300,
    },
)
@serve.ingress(build)
class Attendant:
    """One replica."""

    def check_health(self) -> None:
        """Have Ray replace the replica if it cannot answer."""
        check()  # Ray copies this class to the replica: a variable of this module would be another one there


app = Attendant.bind()  # type: ignore[attr-defined] # what the decorators return has it
