"""Every error that labkit raises on purpose. Each message says what was expected, what came, and what to do next.

LabkitError
├── DataError (also ValueError)      data that cannot be used: empty, NaN, a wrong shape, a label out of range
├── UnavailableError (also OSError)  something that is not here: a network, a file, an optional package
├── DeviceError (also RuntimeError)  a device that does not answer
├── OutOfMemoryError (also RuntimeError)  a batch that does not fit on the device
├── CheckpointError (also ValueError)  a file or state that is broken, or belongs to another trainer or model
├── DivergedError (also ArithmeticError)  a loss that is NaN or infinite
└── SettingError (also ValueError, TypeError)  an argument outside of what a call takes
"""


class LabkitError(Exception):
    """The root: `except labkit.LabkitError` catches whatever the lab itself raises."""


class DataError(LabkitError, ValueError):
    pass


class UnavailableError(LabkitError, OSError):
    pass


class DeviceError(LabkitError, RuntimeError):
    pass


class OutOfMemoryError(LabkitError, RuntimeError):
    pass


class CheckpointError(LabkitError, ValueError):
    pass


class DivergedError(LabkitError, ArithmeticError):
    pass


class SettingError(LabkitError, ValueError, TypeError):
    pass


class UnsuitableError(SettingError):
    pass
