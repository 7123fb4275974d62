// ScrubPace: how fast a scrub reads on: for so much time in every period, whatever its records cost (a block costs many
// times what a small key does). So those who serve lose 1 % of a core and of the disk to it, a little more where single
// records are large, and a round through everything takes as long as that needs; a short round waits before it starts
// anew.
//
// One thread at a time.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>

namespace loyal::replica {

class ScrubPace {
 public:
    using Time = std::chrono::steady_clock::time_point;
    static constexpr std::chrono::milliseconds period{50};
    static constexpr std::chrono::microseconds share{500};  // of each period; a step that takes longer is not cut short
    static constexpr std::chrono::seconds round_every{1};   // at the most often

    enum class Step : std::uint8_t { more, round_over, failed };

    // When it is time: calls `read_on`, a step of the scrub that returns a Step, until it does not say `more` or the
    // share is used up. `now` is the clock.
    template <class Now, class ReadOn>
    void look(const Now& now, const ReadOn& read_on) {
        const Time begin = now();
        if (begin < next_) {
            return;
        }
        next_ = begin + period;
        Step step = Step::more;
        while (step == Step::more && now() < begin + share) {
            step = read_on();
        }
        if (step == Step::failed) {
            next_ = begin + round_every;
        } else if (step == Step::round_over) {
            next_ = std::max(next_, round_began_ + round_every);
            round_began_ = next_;
        }
    }

 private:
    Time next_;
    Time round_began_;
};

}  // namespace loyal::replica
