#include <benchmark/benchmark.h>

#include "crypto/identity.h"

int main(int argc, char** argv) {
    loyal::crypto::initialize();
    benchmark::Initialize(&argc, argv);
    if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
        return 2;
    }
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
    return 0;
}
