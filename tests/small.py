"""Settings of a chain that runs in seconds, and where its base model's arms are."""

MODEL = "mini-video-llava"
HOME = f"models/{MODEL}"

SMALL = [
    "--world.triplets", "42", "--world.test", "28", "--world.test_open", "28", "--world.questions", "8",
    "--world.per-template", "1", "--train.epochs", "1", "--train.batch", "14", "--evaluate.draws", "50",
    "--generate.generator", "world_simulator",
]  # fmt: skip
WEIGHTS = "llava+instructblip+clip_flant5-difference"  # the file of an arm that names no scorers
