from ._base import PackageTask

__all__ = ["PackageTask"]
