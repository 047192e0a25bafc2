"""The gate inside four frameworks and around a plain app: five small sites with the same pages, and one suite for all of them, by several doors."""
