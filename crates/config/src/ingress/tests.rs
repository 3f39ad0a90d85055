mod matching;
mod reading;
