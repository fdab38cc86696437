"""Asks what the server can do, and prints what this process took from its start to the answer. Argument: address."""

import json
import os
import resource
import sys
import time

import tinker

models = tinker.RestClient(base_url=sys.argv[1]).get_server_capabilities().result().supported_models
usage = resource.getrusage(resource.RUSAGE_SELF)
# Field 22 of the line, after the name in brackets: the start in clock ticks since the machine's.
started = int(open("/proc/self/stat").read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
print(
    json.dumps(
        {
            "cpu": 1000 * (usage.ru_utime + usage.ru_stime),
            "time": 1000 * (time.clock_gettime(time.CLOCK_BOOTTIME) - started),
            "peak": usage.ru_maxrss / 1024,
            "models": len(models),
        }
    )
)
