"""`python -m deployments.worker`: the warm worker."""

from deployments.worker.process import main

if __name__ == "__main__":
    main()
