"""The devices that tests of engines run on: numpy arrays, and the GPU code path on a CPU."""

from service.engine.device import CPU, Device

RESIDENT = Device(resident=True)
BUCKETS = Device(resident=True, row_buckets=True)
DEVICES = [CPU, RESIDENT, BUCKETS]
DEVICE_NAMES = ["host", "resident", "buckets"]
