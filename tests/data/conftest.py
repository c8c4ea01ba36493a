import pytest


@pytest.fixture
def change_last_bit():
    """A function that changes a file where it is: what is mapped from it changes too."""

    def change(path):
        last = path.read_bytes()[-1]
        with open(path, "r+b") as file:
            file.seek(-1, 2)
            file.write(bytes([last ^ 1]))

    return change
