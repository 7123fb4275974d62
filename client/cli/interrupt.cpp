#include "client/cli/interrupt.h"

#include <signal.h>

namespace loyal::cli {

namespace {

std::atomic<bool> was_interrupted = false;

}  // namespace

std::atomic<bool>& catch_interrupt(SecondInterrupt second) {
    struct sigaction action {};
    action.sa_handler = [](int) { was_interrupted = true; };
    action.sa_flags = second == SecondInterrupt::ends_program ? static_cast<int>(SA_RESETHAND) : 0;
    ::sigemptyset(&action.sa_mask);
    for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
        ::sigaction(number, &action, nullptr);
    }
    return was_interrupted;
}

}  // namespace loyal::cli
