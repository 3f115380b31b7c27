// An upstream's answer head: parsed strictly, so that a bad upstream is a 502 and never guessed at
// (reliability.md §2.2), and stripped of what concerns only its own connection.
#pragma once

#include "call/fault.hpp"
#include "call/sink.hpp"
#include "wire/body_decoder.hpp"
#include "wire/head_pattern.hpp"

#include <boost/system/result.hpp>

#include <string_view>

namespace gateway {

struct answer {
    answer_head head;
    body_decoder body = body_decoder::none();
    bool keep_alive = true;  // the connection may carry another call once the body has ended
    bool interim = false;    // 100 or 103: the real one follows
};

// `bytes` is one whole head, its empty line included; `to_head` says that the request was a HEAD.
boost::system::result<answer, fault> parse_answer(std::string_view bytes, bool to_head);

// The same for one upstream's answers, one after another: most of their heads say what the one
// before said, but for the length (and, once a second, the date), and such a one is not parsed
// again.
class answer_parser {
public:
    boost::system::result<answer, fault> parse(std::string_view bytes, bool to_head);

private:
    head_pattern known_;
    answer last_;
};

}  // namespace gateway
