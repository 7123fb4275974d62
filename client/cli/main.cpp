// loyal: the client and cluster tool.
#include "client/cli/command.h"

int main(int argc, char** argv) {
    return loyal::cli::run(std::vector<std::string>(argv + 1, argv + argc));
}
