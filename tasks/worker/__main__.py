"""Starting one worker process: python -m tasks.worker."""

from tasks.worker.trainer import main

if __name__ == "__main__":
    main()
