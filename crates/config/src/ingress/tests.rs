mod matching;
mod file;
