#!/usr/bin/env bash
# From a bare machine to files back, see README.md: run.sh train|export|rest|tables [settings of `diffusionlm train`]
set -euo pipefail
cd "$(dirname "$0")/../.."
what=${1:?train, export, rest or tables}; shift
pack=${PACK:-.gpu} out=${OUT:?the folder for what comes back} seconds=${SECONDS_OF_TRAINING:-420}
work=$pack/work
mkdir -p "$out" "$work"
python=${PYTHON:-python3}

if ls "$pack"/wheels/*.whl >/dev/null 2>&1; then
  [ -d .site ] || $python -m pip install -q --no-index --no-deps --no-compile --target .site "$pack"/wheels/*.whl
  export PYTHONPATH=$PWD/.site:$PWD
else
  export PYTHONPATH=$PWD
fi
export TOKENIZERS_PARALLELISM=true

settings=(experiment=everyday_large "data.root=$work" "folder=$work/run" "export=$work/pipeline" tensorboard=false)
if [ -n "${MINIATURE:-}" ]; then  # the same way in seconds on a CPU
  settings+=(model=tiny data.tokens_per_batch=1024 data.tokenizer.vocab_size=600 trainer.compile=false trainer.workers=1
             trainer.log_every=5 trainer.valid_batches=1 trainer.likelihood_warmup_steps=20 trainer.warmup_steps=5)
fi

case $what in
  train)
    $python - "$pack/corpus" "$work/everyday_large" <<'END'
import lzma, shutil, sys
from pathlib import Path
for file in Path(sys.argv[1]).glob("*/*.jsonl.xz"):
    target = Path(sys.argv[2]) / file.parent.name / file.stem
    target.parent.mkdir(parents=True, exist_ok=True)
    with lzma.open(file) as packed, target.open("wb") as whole:
        shutil.copyfileobj(packed, whole)
END
    $python -m diffusionlm train "${settings[@]}" "trainer.max_minutes=$($python -c "print($seconds / 60)")" "$@" 2>&1 | tee "$out/console.log"
    $python -m benchmarks.gpu.bring_back "$work" "$out" --rest "$pack/rest" --samples "${SAMPLES:-200}"
    ;;
  export)  # after a run that was cut off: what the newest checkpoint holds
    step=$(ls "$work/run/checkpoints" | sed -n 's/^step_0*//p' | tail -1)
    $python -m diffusionlm train "${settings[@]}" "trainer.max_steps=$step" "$@"
    $python -m benchmarks.gpu.bring_back "$work" "$out" --rest "$pack/rest" --samples "${SAMPLES:-200}"
    ;;
  rest)
    cp "$pack"/rest/* "$out/"
    ;;
  tables)
    device=$($python -c "import torch; print('cuda' if torch.cuda.is_available() else 'cpu')")
    shape=(--shape medium --batch 256 --length 256 --precisions float32 bfloat16 --backends eager sdpa flash_attention_2 --experts --compile)
    [ -n "${MINIATURE:-}" ] && shape=(--shape tiny --batch 2 --length 16 --precisions float32 --backends eager sdpa --experts --rounds 1)
    $python -m benchmarks.bench_throughput --device "$device" "${shape[@]}" | tee "$out/backends.txt"
    each=$($python -c "print(max($seconds, 20) / 4 / 60)")
    for experts in 0 8; do  # equal active operations, so that the losses can be compared at equal tokens and at equal time
      $python -m diffusionlm train "${settings[@]}" "folder=$work/experts_$experts" "export=$work/pipeline_experts_$experts" \
        "cache=$work/run/corpus" "model.num_experts=$experts" "trainer.max_minutes=$each" samples=0 "$@" > "$out/experts_$experts.log" 2>&1
      cp "$work/experts_$experts/log.jsonl" "$out/experts_$experts.jsonl"
    done
    $python -m benchmarks.gpu.bring_back --experts "$out/experts_0.jsonl" "$out/experts_8.jsonl" | tee "$out/experts.txt"
    ;;
  *) echo "run.sh train|export|rest|tables, got $what" >&2; exit 2 ;;
esac
